"""Write and read files so that each is either whole or absent, and damage to its content is noticed.

    atomic        a temporary path that takes its name when the content is on disk
    folder        the same for a whole folder
    sealed_json   JSON with its own hash in it
    parquet       tables with a hash over all values in their metadata
    csv           tables for people and other programs, whose names stay what they are
    outputs       the check that no output of a program is one of its inputs, or a folder
    safetensors   tensors, and sealed JSON that describes them
    text          names from elsewhere on a terminal, in Markdown and in a csv

It uses no other room. Every room that writes a file uses it; nothing in this project opens a result for writing by
itself.

Three facts that a newcomer needs:

- A job can be killed at any moment, and disks fail or fill up. So nothing is written under its final name: a file gets
  that name only after its content is on disk. A file with its final name is finished.
- A flipped bit of a weight or of a number in a table would be another result, and neither safetensors nor parquet
  notices it. So readers compare hashes, and an error names the file and says what to do (`sealed_json.REMEDY`).
- Equal content gives equal bytes, in JSON and safetensors. Tests that kill a run again and again compare its files byte
  by byte.

The tensor files of the data (.pth) and the states of training have readers of their own, in `longtail.data.tensors` and
`longtail.training.checkpoint`.
"""
