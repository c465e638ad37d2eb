"""What keys may spend in a day: in one process, or shared by all servers of a database."""
