"""The look of the page: one column of text, figures as wide as they need, light and dark."""

CSS = """
:root { color-scheme: light dark; --ink: #1d2126; --paper: #fdfdfb; --soft: #5c646d;
  --line: #d9dcd8; --card: #f4f4f0; --good: #00714f; --bad: #b34700; --open: #5c646d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e1; --paper: #15181b; --soft: #a3abb3;
  --line: #363b40; --card: #1f2327; --good: #43c99b; --bad: #ff9a57; --open: #a3abb3; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.2rem 5rem; max-width: 60rem; background: var(--paper);
  color: var(--ink); font: 17px/1.55 Charter, "Bitstream Charter", Georgia, serif; }
h1 { font-size: 2.3rem; line-height: 1.15; margin: .2rem 0 1rem; letter-spacing: -.01em; }
h2 { font-size: 1.5rem; margin: 3.2rem 0 .6rem; padding-top: .8rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.08rem; margin: 1.8rem 0 .3rem; }
p, ul, blockquote { max-width: 42rem; }
a { color: inherit; text-underline-offset: .15em; }
.kicker, nav, figcaption, table, .tag, .small, dl, svg {
  font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
.kicker { color: var(--soft); font-size: .85rem; letter-spacing: .06em; margin: 0; }
.lead { font-size: 1.15rem; }
nav { font-size: .9rem; color: var(--soft); margin: 1.5rem 0; }
nav a { margin-right: 1rem; white-space: nowrap; }
.small { font-size: .86rem; color: var(--soft); }
.note { background: var(--card); border-left: 4px solid var(--bad); padding: .6rem 1rem;
  max-width: 42rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; width: 100%;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding: .3rem 0; }
th, td { text-align: right; padding: .38rem .7rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th:first-child { text-align: left; font-weight: 500; }
thead th { font-weight: 650; border-bottom: 2px solid var(--line); }
td small { display: block; color: var(--soft); }
td.text { text-align: left; }
figure { margin: 1.4rem 0; }
figcaption { font-size: .88rem; color: var(--soft); max-width: 42rem; margin-top: .4rem; }
svg { width: 100%; max-width: 46rem; height: auto; display: block; }
.bars svg { max-width: 16rem; }
img { max-width: 100%; image-rendering: pixelated; display: block; background: #202020; }
.columns { display: flex; flex-wrap: wrap; gap: 1.4rem; }
.columns figure { margin: 0; width: 13.2rem; }
.columns.wide figure { width: 18.5rem; }
.columns img { width: 100%; }
.bars { display: flex; flex-wrap: wrap; gap: 1rem; }
.bars figure { margin: 0; width: 13.2rem; }
.verdict { display: grid; grid-template-columns: 8.5rem 1fr; gap: 1.2rem; padding: 1rem 0;
  border-bottom: 1px solid var(--line); }
.verdict blockquote { margin: 0 0 .4rem; font-style: italic; }
.verdict p { margin: .3rem 0; }
.tag { font-size: .85rem; font-weight: 650; }
.tag b { display: block; font-size: 1.5rem; line-height: 1.2; font-weight: 650; }
.holds { color: var(--good); } .fails { color: var(--bad); } .open { color: var(--open); }
.take { list-style: none; padding: 0; }
.take li { padding: .55rem 0; border-bottom: 1px solid var(--line); }
details { margin: 1rem 0; }
summary { cursor: pointer; }
code { font-size: .88em; overflow-wrap: anywhere; }
@media (max-width: 40rem) { .verdict { grid-template-columns: 1fr; gap: .3rem; }
  h1 { font-size: 1.8rem; } }
@media print { nav { display: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""
