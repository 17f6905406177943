FLAGS = ("personal", "action", "context", "variety")
LIFETIMES = ("timeless", "months", "days", "live")
