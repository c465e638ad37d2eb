"""What may be sent to a teacher elsewhere: rules, what they look for, and a teacher that stands under them."""
