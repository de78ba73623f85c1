"""The desired state: files or a commit → `Desired`, and edits to those files. Contacts no host of the fleet."""
