"""May the window begin? What PreCheck asks of the server, the role and the disks."""
