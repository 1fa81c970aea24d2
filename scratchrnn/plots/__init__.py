"""Pictures of training and of gradients, in one restrained style.

Colours are Okabe and Ito's and viridis, which colour-blind readers and grey print keep apart. Norms are drawn on a log
scale; what is exactly 0 has no place there: it is grey on a heat map, and left out of a curve with a note that says so.
Every function draws into the axes or the figure it is given. Given none it opens one with pyplot, so that a notebook
shows it; pyplot is imported for that alone, and no global setting is touched. `new_figure` makes a figure to be saved
without pyplot or a screen.
"""

from .flow import plot_decay as plot_decay
from .flow import plot_flow as plot_flow
from .maps import plot_input_map as plot_input_map
from .maps import plot_lag_decay as plot_lag_decay
from .maps import plot_lag_map as plot_lag_map
from .observed import gradient_flow_size as gradient_flow_size
from .observed import plot_gradient_flow as plot_gradient_flow
from .observed import plot_saturated as plot_saturated
from .observed import plot_tensor_norms as plot_tensor_norms
from .remedies import plot_remedies as plot_remedies
from .spectra import plot_chaos as plot_chaos
from .spectra import plot_eigenvalues as plot_eigenvalues
from .spectra import plot_lyapunov as plot_lyapunov
from .spectra import plot_spectrum as plot_spectrum
from .style import new_figure as new_figure
from .surface import plot_surface as plot_surface
from .training import gradients_size as gradients_size
from .training import plot_gradients as plot_gradients
from .training import plot_loss as plot_loss
from .training import plot_prediction as plot_prediction
