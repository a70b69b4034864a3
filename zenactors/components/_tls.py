"""TLS by the standard library, for listeners and for sinks that connect."""

from __future__ import annotations

import ssl
from pathlib import Path

from zenactors.advice import advice_for, reason
from zenactors.errors import ZenDaemonComponentException


def server_context(
    certificate: str, key: str | None, client_ca: str | None = None
) -> ssl.SSLContext:
    """Return the context of a server, for TLS 1.2 and later. Blocks while files are read.

    Args:
        certificate: The file of the certificate, and those that lead to its issuer.
        key: The file of its private key. None: it is in the same file.
        client_ca: The file of the issuers of clients' certificates, which are required then.

    Raises:
        ZenDaemonComponentException: A file is missing, or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_chain(context, certificate, key)
    if client_ca is not None:
        _load_issuers(context, "tls_client_ca", client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    ca: str | None, certificate: str | None = None, key: str | None = None
) -> ssl.SSLContext:
    """Return the context of a client, which verifies the server's certificate and name.

    Args:
        ca: The file of the issuers to trust. None: those that the system trusts.
        certificate: The file of a certificate for the server.
        key: The file of its private key. None: it is in the same file.

    Raises:
        ZenDaemonComponentException: A file is missing, or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        context.load_default_certs()
    else:
        _load_issuers(context, "tls_ca", ca)
    if certificate is not None:
        _load_chain(context, certificate, key)
    return context


def _load_chain(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    _check_readable("tls_certificate", certificate)
    if key is not None:
        _check_readable("tls_key", key)
    try:
        # Without a password, OpenSSL would ask for that of an encrypted key at the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as cause:
        files = certificate if key is None else f"{certificate} and {key}"
        raise ZenDaemonComponentException(
            f"Cannot use {files} for TLS: {_told(cause)}. Give tls_certificate a certificate in"
            " PEM format, and tls_key the private key that belongs to it, not encrypted."
        ) from cause


def _load_issuers(context: ssl.SSLContext, option: str, path: str) -> None:
    _check_readable(option, path)
    try:
        context.load_verify_locations(path)
    except OSError as cause:
        raise ZenDaemonComponentException(
            f"Cannot use {option} {path}: {_told(cause)}. Give it a file with the certificates of"
            " the issuers in PEM format."
        ) from cause


def _check_readable(option: str, path: str) -> None:
    # The errors of OpenSSL do not say which file it was.
    try:
        with Path(path).open("rb"):
            pass
    except OSError as cause:
        raise ZenDaemonComponentException(
            f"Cannot read {option} {path}: {reason(cause)}. {advice_for(cause, path, 'read')}."
        ) from cause


def _told(cause: OSError | ValueError) -> str:
    reason_code: str | None = getattr(cause, "reason", None)
    return reason_code.lower().replace("_", " ") if reason_code else "OpenSSL cannot read it"
