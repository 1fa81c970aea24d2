"""A from-scratch recurrent network with explicit backpropagation through time."""

from .backends import available_backends as available_backends
from .backends import get_backend as get_backend
from .backends import get_num_threads as get_num_threads
from .backends import set_backend as set_backend
from .backends import set_num_threads as set_num_threads
from .backends import use_backend as use_backend
from .backends.arrays import to_numpy as to_numpy
from .callbacks import Callback as Callback
from .callbacks import EarlyStopping as EarlyStopping
from .gradients.clip import clip_by_global_norm as clip_by_global_norm
from .gradients.clip import clip_by_value as clip_by_value
from .gradients.clip import global_norm as global_norm
from .history import History as History
from .layers.linear import Linear as Linear
from .layers.rnn import RNN as RNN
from .model import SequenceModel as SequenceModel
from .model import VanillaRNN as VanillaRNN
from .optimizers import SGD as SGD
from .optimizers import Adagrad as Adagrad
from .optimizers import Adam as Adam
from .optimizers import RMSProp as RMSProp
from .parameters import Parameters as Parameters
from .training import NonFiniteError as NonFiniteError
from .training import fit as fit
