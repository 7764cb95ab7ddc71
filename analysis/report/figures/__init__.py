"""One function a figure: data and fits in, Axes out. None fits, none saves, all share one style.

Every function takes `ax` to draw into; without it a new figure is made (`ax.figure`). A colour is an arm, its
shade the size; a marker is a measured run and a line a fitted law. Draw inside `style.styled()`.
"""
