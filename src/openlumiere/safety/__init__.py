"""What is not made: rules on prompts and on pictures, under a policy that belongs to the user."""
