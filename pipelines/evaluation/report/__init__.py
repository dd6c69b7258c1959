"""What people see of a version: model card and plots."""
