"""The commands, one file each; `main(words)` takes what follows the command's name."""
