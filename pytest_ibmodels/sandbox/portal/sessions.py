"""Sessions: who is signed in, for how long, and with what proof."""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pytest_ibmodels.sandbox.http.tokens import Tokens
from pytest_ibmodels.sandbox.services.tenant import Tenant, Tenants
from pytest_ibmodels.sandbox.storage.portal_tables import PortalTables, SessionRow

LONGEST_SECONDS = 8 * 3600.0
IDLE_SECONDS = 3600.0
CODE_SECONDS = 600.0
_TOUCH_SECONDS = 60.0
_ID_BYTES = 32


@dataclass(frozen=True)
class Session:
    """A person who is signed in.

    Attributes:
        id: Hash of the cookie's random part, as in the database.
        csrf_token: Token that each changing form of the session carries.
    """

    id: str
    tenant: Tenant
    tables: PortalTables
    csrf_token: str


class Sessions:
    """Sessions of all tenants. All methods but the constructor block and are thread-safe.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, tenants: Tenants, tokens: Tokens, clock: Callable[[], float] = time.time) -> None:
        self._tenants = tenants
        self._tokens = tokens
        self._clock = clock
        self._tables = {name: PortalTables(tenants.get(name).store.database) for name in tokens.names}
        self._codes: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def new_code(self) -> str:
        """Create a one-time code for a server with a single token; it works once, for ten minutes."""
        code = secrets.token_urlsafe(16)
        with self._lock:
            self._codes[_digest(code)] = self._clock() + CODE_SECONDS
        return code

    def sign_in(self, secret: str) -> str | None:
        """Exchange a token or a one-time code for the value of a new session's cookie; None if it is neither."""
        name = self._tokens.tenant(b"Bearer " + secret.encode(errors="replace"))
        if name is None and self._use_code(secret):
            name = self._tokens.names[0]
        if name is None:
            return None
        key, now = secrets.token_urlsafe(_ID_BYTES), self._clock()
        proof = self._tokens.proof(name, key.encode())
        tables = self._tables[name]
        tables.end_sessions_created_before(now - LONGEST_SECONDS)
        tables.add_session(SessionRow(_digest(key).hex(), proof or "", now, now))
        return f"{name}.{key}"

    def find(self, cookie: str, *, is_use: bool) -> Session | None:
        """Return the session of a cookie, or None if it has ended or its token is no longer accepted.

        Args:
            cookie: Value of the cookie.
            is_use: Whether a person asked, which keeps the session from ending; a page that renews itself does not.
        """
        name, _, key = cookie.rpartition(".")
        tables = self._tables.get(name)
        if tables is None or not key:
            return None
        row, now = tables.session(_digest(key).hex()), self._clock()
        if row is None:
            return None
        proof = self._tokens.proof(name, key.encode())
        is_accepted = proof is not None and hmac.compare_digest(proof, row.proof)
        if not is_accepted or now > min(row.created + LONGEST_SECONDS, row.used + IDLE_SECONDS):
            tables.end_session(row.id)
            return None
        if is_use and now - row.used > _TOUCH_SECONDS:
            tables.mark_used(row.id, now)
        csrf_token = hmac.new(key.encode(), b"csrf", hashlib.sha256).hexdigest()
        return Session(row.id, self._tenants.get(name), tables, csrf_token)

    def _use_code(self, code: str) -> bool:
        with self._lock:
            return self._codes.pop(_digest(code), 0.0) > self._clock()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()
