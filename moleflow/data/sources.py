"""Where the public datasets are: addresses, checksums, licences."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A public dataset's archive.

    Attributes:
        page: where its makers describe it, and from where people get it by hand.
        licence: its terms.
        url: the archive; None where there is no address that a program may fetch.
        sha256: of the archive; None where nobody has published one.
    """

    page: str
    licence: str
    url: str | None = None
    sha256: str | None = None


SOURCES: Mapping[str, Source] = {
    "mvtec": Source(
        page="https://www.mvtec.com/company/research/datasets/mvtec-ad",
        licence="CC BY-NC-SA 4.0",
        url="https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/"
        "download/420938113-1629960298/mvtec_anomaly_detection.tar.xz",
        sha256="cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
    ),
    "visa": Source(
        page="https://github.com/amazon-science/spot-diff",
        licence="CC BY 4.0",
        url="https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",
        sha256="2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
    ),
    "btad": Source(
        page="https://avires.dimi.uniud.it/papers/btad/",
        licence="CC BY-NC-SA 4.0",
        url="https://avires.dimi.uniud.it/papers/btad/btad.zip",
    ),
    "mpdd": Source(page="https://github.com/stepanje/MPDD", licence="CC BY-NC-SA 4.0"),
}
"""Addresses and checksums of mvtec and visa: as in anomalib 2.7.0. None was fetched from here."""
