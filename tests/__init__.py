"The tests, and the house rules as a script."
