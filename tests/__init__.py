"""The tests, folder by folder as the packages they test; they run the real parts."""
