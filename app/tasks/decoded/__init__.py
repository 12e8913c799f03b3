"""What tasks share that produce text token by token: prompts to sequences, tokens to text, text to frames.

TextRequest --prepare--> PreparedText: one sequence for each choice
engine events --FrameAssembler--> frames --TextAssembler, stop strings--> text that is certain
ResumePoint: where a reader stands, as the id of its last event

BeamOptions --Decoder--> searches, or streams of their likeliest tokens; Drafts: what these have written
"""
