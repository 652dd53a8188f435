"""The commands, one file each; `main(argv)` takes the arguments after the command's name."""
