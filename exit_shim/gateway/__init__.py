"""Take every order through one path of six steps."""
