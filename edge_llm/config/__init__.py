"""What can be set, where it may come from, and what is refused.

Defaults are overridden by a TOML file, this by `EDGE_LLM_*` environment variables, these by
arguments. An unknown name is an error in every one of them.
"""

from edge_llm.config.budget import BudgetConfig as BudgetConfig
from edge_llm.config.confidence import ConfidenceConfig as ConfidenceConfig
from edge_llm.config.edge import BUILTIN_MODEL as BUILTIN_MODEL
from edge_llm.config.edge import SECTIONS as SECTIONS
from edge_llm.config.edge import TIER_OPTIONS as TIER_OPTIONS
from edge_llm.config.edge import ContextSize as ContextSize
from edge_llm.config.edge import Device as Device
from edge_llm.config.edge import EdgeConfig as EdgeConfig
from edge_llm.config.edge import KVCacheType as KVCacheType
from edge_llm.config.edge import LoadOptions as LoadOptions
from edge_llm.config.environment import ENV_PREFIX as ENV_PREFIX
from edge_llm.config.environment import OTHER_ENVIRONMENT as OTHER_ENVIRONMENT
from edge_llm.config.escalation import EscalationConfig as EscalationConfig
from edge_llm.config.explain import Explained as Explained
from edge_llm.config.explain import Setting as Setting
from edge_llm.config.explain import explain_config as explain_config
from edge_llm.config.folders import cache_folder as cache_folder
from edge_llm.config.folders import data_folder as data_folder
from edge_llm.config.folders import state_folder as state_folder
from edge_llm.config.load import load_config as load_config
from edge_llm.config.offline import OFFLINE_VARIABLE as OFFLINE_VARIABLE
from edge_llm.config.offline import is_offline as is_offline
from edge_llm.config.privacy import PrivacyConfig as PrivacyConfig
from edge_llm.config.requests import checked_overflow as checked_overflow
from edge_llm.config.requests import merge_sampling as merge_sampling
from edge_llm.config.tiers import TierConfig as TierConfig
