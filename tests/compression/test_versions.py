"""Files of the first version of the format, as they were written then, decompress for good."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import torch

from codec import chain, vae
from zeuxis.compression.codec import decompress, survey
from zeuxis.model import Model

pytest.importorskip("constriction")

# Bytes of such files: by a Markov chain with three named images of three shapes, and by a VAE with
# two numbered ones.
RANGE = (
    "iCS0<3K|Lk0RR91NJT+J&j0`b00000c-ke8L2AS>3`MUpcv}<f*v=%~^%A8pbYa<YESNaKNtmIfcdy*;^giP0>sx"
    "%``J`RE3f1XO2`QE};+;8UPlb73&l->eo*zhaKK6e|RA#JOrE+jETC@=odQhXD>{XjdL2@n{Z>C`wTnZ@$7{Q@Nf"
    "T&^*)|lQV5AJG#g@G?uR#nep=B;9&oz}uxTu->SaPc8iX?>2hhJ5KeZ94T5wo_i--ank~Tj%UIUb$&$rTvtG7C$4"
    "`Hc|k!{=NOvCwjJDetrSJwN6^t&g}pab!$K}8gf5Kd0IL`OhZd>0000)0001Z+9k?C4#FT1K+(I*dZIunLa$Q07>"
    "1!XDj~(L8t<;v?SFrVcB3i{hH=!Wu}3#e2!)=%26Sf1*DbMxQ!O)mEiY?(!JrTxRF2Cc+@=0gT4p&EtP0|sXzf#u"
    "zPoV8mP2p6i7^``@csY~-z1Kra4Y};;)@8(zkcKrBWgcnrw2MyxoaZN@TCQQ(<j;*i4?QE9+oiKBVj3G-5Zuv(FX"
    ";sjpNMR@Q%tpxMwP8G`#Z3uy7KGBt{<m+ZrzZ!<ULeOhZe00000)0001Z+8v6^4#FT1MSsQI^~3-((#NJB(y{=>+"
    "Ngwxizbc#F74``+;cXRhtIK~A4g40hK!?1nuNqTLh|p!BAh0y6NYn6GYEWa4eraQe9>#d%cngR!ZYT2DZ*`;<8Be"
    "{)iA40?8S?+!i^50RjoClv7In}e~nZn^l-Xt0Q`%_w5OY;H(?LsQE2WQ5+4QVwX0D+3{Pz|kbtCP3Bh@Ehhm<WaR"
    "Kk?VlS>=Kby?q_-DeeKXz8ZeI)mE`TH6-Hyt~O55p5Cc489Yx<pS-MI8VD000000C?J~R?5sxOiwLVvNG0DO3KMk"
    "&IU4#Y5`kw2YS!;9&Q6qkZ=Ur=m|_YXBz"
)
BITS = (
    "iCS0<3K|Lk0RR91NJT+J)Bpeg00000c-ke7%WlIU5Ji6_Vq0SI26xw=h$2;8V8He$F<4-?QLFxY$La2#tI?VJL%!"
    "4gfJR;k>v+cqB}<9vj{NBpQY(862@&&Gf@$8`Ka7y4RM!f5!$O9rg&v%aQSs<T&83hojmBD`yi(DyV7y^g>0VoAg"
    "0bAiKDyqkD49iJz`qq$18nU)_;AB+ttmi*lCh6vAMVGb#fKU4v1uzc%qP)t*|C?f?)3C_xoR$s-Lqfu<egJR)dwZ"
    "8_$lFZL7xvWsHc8}2Z|uy&gAzGRaQ=NmkfUB#(FYUn`hgb55ItDLQF$TX#fBK8~^|Sc-kGwO%8%E6h+~^-0>Z>rG"
    "K&&(!nFV0#OOE&WwAvI6L{y2W^v68^&p}v<!@ey#_kEQiwyI|J$?fulB}hh=&{(TH>x}r${XOs@Fv_MrL2<q&6;^"
    "^DTGrE=ma5*EHb!1DN+9k+I7)&JbOBJ1y-Y(B6*ct-21Vb~+XcVP*gT0QmAExdqxG+K&J3I18#{&O}d6MI8VD000"
    "000C?J~R?5sxOiwLVvNF<9O3KMk&IU3KYXMti2Y6vop;67;%p#5xC#jXjDv$"
)


def fixed(model: Model) -> Model:
    """The model with weights that need no generator."""
    for p in model.parameters():
        p.data = ((torch.arange(p.numel()) * 7 % 11 - 5) / 8).view(p.shape).float()
    return model


def test_range_coding_of_named_images(tmp_path: Path) -> None:
    (tmp_path / "x.zx").write_bytes(base64.b85decode(RANGE))
    expected = {
        "a/caf\udce9.png": torch.arange(30).view(1, 5, 6).byte() * 8,
        'b "x"?.png': torch.arange(12).view(3, 2, 2).byte() * 20,
        "3.png": torch.arange(16).view(1, 4, 4).byte(),
    }
    found = dict(decompress(tmp_path / "x.zx", fixed(chain())))
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert len(survey(tmp_path / "x.zx").blocks) > 1


def test_bits_back_coding_of_numbered_images(tmp_path: Path) -> None:
    (tmp_path / "x.zx").write_bytes(base64.b85decode(BITS))
    found = dict(decompress(tmp_path / "x.zx", fixed(vae())))
    assert list(found) == ["ink-0.png", "ink-1.png"]
    assert torch.equal(found["ink-0.png"], 255 * (torch.arange(30).view(1, 5, 6) % 3 == 0).byte())
    assert torch.equal(found["ink-1.png"], 255 * (torch.arange(12).view(3, 2, 2) % 5 == 0).byte())
