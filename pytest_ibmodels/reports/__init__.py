"""What people read: live progress, the text of a failure, the summary. All wording of outcomes is here."""
