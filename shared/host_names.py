"""Under which names the open reads may be asked for: addresses, and names that nobody can register.

A web page can let its own name point to 127.0.0.1 and would then read, in its visitor's browser, whatever
answers there (DNS rebinding). The browser still says that name in `Host`; a page never gets an address or a
local name for itself.

Pure. It must never decide who may change anything: that is the operator's key.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
"""Reserved (RFC 6761, 6762, 8375; ICANN 2024) or, `.lan`, delegated to nobody. Kubernetes' names end in
`.local`."""
OPEN_TO_ANY_NAME = ("/webhook", "/health", "/dashboard")
"""What has its own proof, or tells nothing: these may stand behind a domain."""


def may_be_asked(path: str, host: str) -> bool:
    """Tell whether a request for `path` that names `host` (a `Host` header, its port with it) is answered."""
    return path.startswith(OPEN_TO_ANY_NAME) or is_local(host)


def is_local(host: str) -> bool:
    """Tell whether no page of the internet can have this name: an address, one word, or a reserved suffix."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    if name is None:
        return host == ""  # HTTP/1.0: no browser
    name = name.removesuffix(".")
    return "." not in name or name.endswith(LOCAL_SUFFIXES) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
