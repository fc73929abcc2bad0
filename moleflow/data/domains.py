"""One product under several domains, as in HDMAP's images of vibration: the domains are the tasks."""

from moleflow.data.folder import FolderDataset

PREFIX = "domain_"


class DomainsDataset(FolderDataset):
    """Reader of ``domain_X/{train/good, test/good, test/fault}``: a folder named ``domain_…`` is a class.

    Faults ship no masks, so image metrics alone apply; a domain may have any other folder of ``FolderDataset``.
    """

    name = "domains"
    layout = "domain_A/train/good/*, domain_A/test/good/*, domain_A/test/fault/* and so on for domain_B, …"

    def _find_classes(self) -> tuple[str, ...]:
        return tuple(name for name in super()._find_classes() if name.startswith(PREFIX))
