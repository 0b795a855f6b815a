"""`fsig-bench audit`: which faults does which metric see, and how early?"""
