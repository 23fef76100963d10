"""Password hashes: argon2id, off the loop, one at a time. A hash costs about 18 ms and 19 MiB, by intention.

Parameters: OWASP's second choice (t=2, m=19 MiB, p=1), https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor


class Passwords:
    """One thread that hashes and checks."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="password")
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._pool, hash_password, password)

    async def check(self, hashed: str | None, password: str) -> bool:
        """Whether the password fits. Without a hash (no such user) it takes as long and says no, so that time tells nobody who exists."""
        if self._decoy is None:
            self._decoy = await self.hash("nobody has this password")
        fits = await asyncio.get_running_loop().run_in_executor(self._pool, _fits, hashed or self._decoy, password)
        return fits and hashed is not None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def hash_password(password: str) -> str:
    """The hash, in PHC form. Blocks for about 18 ms."""
    from argon2 import PasswordHasher  # late: the command line imports this package's seed without hashing anything

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(password)


def _fits(hashed: str, password: str) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import VerificationError

    try:
        return PasswordHasher().verify(hashed, password)
    except VerificationError:
        return False
