"""``GET /``: the page, and ``/page/...``: what it loads. It uses the public routes and nothing else.

``GET /static/client.js``: the client that the page uses, for other pages and for Node; without the page too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.edge.routes.page_assets import FOLDER, Asset, PageAssets, charts_folder, collect_assets

SECURITY = {
    # Nothing from another host, no script or style in the document itself, and no frame around it.
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "font-src 'self'",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
    "referrer-policy": "no-referrer",
}
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_NO_GZIP = re.compile(r"gzip\s*;\s*q\s*=\s*0(?:\.0*)?\s*(?:,|$)")
_READ: dict[str, Any] = {"methods": ["GET", "HEAD"], "response_class": Response}
CLIENT = "/static/client.js"


def client_router() -> APIRouter:
    client = Asset.of("client.js", (FOLDER / "js" / "client.js").read_bytes())
    router = APIRouter(include_in_schema=False)
    router.add_api_route(CLIENT, partial(_latest, client), **_READ)
    return router


def page_router(panels: Mapping[str, Path]) -> APIRouter:
    assets = collect_assets(panels=panels, charts=charts_folder())
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/", partial(_latest, assets.index), **_READ)
    router.add_api_route("/page/{digest}/{path:path}", partial(_file, assets), **_READ)
    return router


async def _latest(asset: Asset, request: Request) -> Response:
    return _answer(request, asset, _ASK_AGAIN)


async def _file(assets: PageAssets, request: Request) -> Response:
    asset = assets.files.get(request.path_params["path"])
    if asset is None:
        raise HTTPException(404)
    # An older document may still ask for its files; it gets today's, which must not be kept as those.
    known = request.path_params["digest"] == assets.digest
    return _answer(request, asset, _FOREVER if known else _ASK_AGAIN)


def _answer(request: Request, asset: Asset, cache: str) -> Response:
    headers = SECURITY | {"cache-control": cache, "etag": asset.etag, "vary": "accept-encoding"}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = asset.body
    accepted = request.headers.get("accept-encoding", "")
    if asset.packed is not None and "gzip" in accepted and not _NO_GZIP.search(accepted):
        headers["content-encoding"] = "gzip"
        body = asset.packed
    return Response(body, headers=headers | {"content-type": asset.content_type})
