"""Users, organisations, their tokens, and who may read or write which repository."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import bad_token, forbidden, gated_repo, repo_not_found, unauthenticated

if TYPE_CHECKING:
    from .store import Repo


@dataclass(frozen=True)
class User:
    """A user and the organisations in which they may write."""

    name: str
    orgs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Caller:
    """Who makes a request; ``user`` is None when no token was sent.

    Attributes:
        user: The token's user.
        role: The token's role, ``"read"`` or ``"write"``.
    """

    user: User | None = None
    role: str = "read"

    @property
    def name(self) -> str | None:
        return self.user.name if self.user else None

    def belongs_to(self, namespace: str) -> bool:
        return self.user is not None and namespace in (self.user.name, *self.user.orgs)

    def require_login(self) -> User:
        if self.user is None:
            raise unauthenticated()
        return self.user

    def require_write_token(self) -> User:
        user = self.require_login()
        if self.role != "write":
            raise forbidden("You must use a write token: this one has the role 'read'")
        return user

    def can_see(self, repo: Repo) -> bool:
        return not repo.private or self.belongs_to(repo.namespace)

    def require_read(self, repo: Repo) -> None:
        if not self.can_see(repo):
            raise repo_not_found(authenticated=self.user is not None)

    def require_files(self, repo: Repo) -> None:
        """Files of a gated repo are for its owners and for who was granted access."""
        granted = self.user is not None and self.user.name in repo.granted
        if repo.gated and not granted and not self.belongs_to(repo.namespace):
            raise gated_repo(repo.type, repo.id, authenticated=self.user is not None)

    def can_write(self, repo: Repo) -> bool:
        return self.role == "write" and self.belongs_to(repo.namespace)

    def require_write(self, repo: Repo) -> User:
        user = self.require_write_token()
        if not self.belongs_to(repo.namespace):
            raise forbidden(
                f"You don't have the rights to write to {repo.type} {repo.id}: "
                "pass `create_pr=1` as a query parameter to create a Pull Request"
            )
        return user


class Accounts:
    """The users the server knows, and their tokens."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self._callers: dict[str, Caller] = {}

    def add_user(self, name: str, orgs: Iterable[str] = ()) -> str:
        """Make a user; returns a token with the role ``"write"``."""
        self.users[name] = User(name, tuple(orgs))
        return self.add_token(name, "write")

    def add_token(self, name: str, role: str) -> str:
        token = "hf_" + secrets.token_hex(16)
        self._callers[token] = Caller(self.users[name], role)
        return token

    def caller(self, authorization: str | None) -> Caller:
        """The caller behind an ``Authorization`` header.

        Raises:
            HttpError: 401 if a token was sent that is not known.
        """
        if authorization is None:
            return Caller()
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or token not in self._callers:
            raise bad_token()
        return self._callers[token]
