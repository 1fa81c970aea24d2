"""Pictures of training and of gradients, in one restrained style.

Colours are Okabe and Ito's and viridis, which colour-blind readers and grey print keep apart. Norms are drawn on a log
scale; what is exactly 0 has no place there and is left out, with a note that says so. Every function draws into the
axes or the figure it is given. Given none it opens one with pyplot, so that a notebook shows it; pyplot is imported for
that alone, and no global setting is touched. `new_figure` makes a figure to be saved without pyplot or a screen.
"""

from .flow import plot_decay as plot_decay
from .flow import plot_flow as plot_flow
from .style import new_figure as new_figure
from .training import plot_gradients as plot_gradients
from .training import plot_loss as plot_loss
from .training import plot_prediction as plot_prediction
