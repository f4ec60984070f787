"""What clips are like: defects, repair, seams, marks, tones."""
