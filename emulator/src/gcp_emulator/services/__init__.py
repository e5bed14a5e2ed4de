"""The services, one folder for each API."""

from gcp_emulator.engine.service import Service
from gcp_emulator.services.artifactregistry.api import ArtifactRegistry
from gcp_emulator.services.certificatemanager.api import CertificateManager
from gcp_emulator.services.cloudbuild.api import CloudBuild
from gcp_emulator.services.cloudresourcemanager.api import ResourceManager
from gcp_emulator.services.compute.api import Compute
from gcp_emulator.services.iam.api import IamApi
from gcp_emulator.services.iamcredentials.api import IamCredentials
from gcp_emulator.services.iap.api import IdentityAwareProxy
from gcp_emulator.services.logging.api import CloudLogging
from gcp_emulator.services.metadata.api import Metadata
from gcp_emulator.services.oauth2.api import OAuth
from gcp_emulator.services.orgpolicy.api import OrganizationPolicy
from gcp_emulator.services.oslogin.api import OsLogin
from gcp_emulator.services.pubsub.api import PubSub
from gcp_emulator.services.run.api import CloudRun
from gcp_emulator.services.run.v1 import CloudRunV1
from gcp_emulator.services.secretmanager.api import SecretManager
from gcp_emulator.services.servicenetworking.api import ServiceNetworking
from gcp_emulator.services.serviceusage.api import ServiceUsage
from gcp_emulator.services.sqladmin.api import SqlAdmin
from gcp_emulator.services.storage.api import Storage

SERVICES: tuple[type[Service], ...] = (
    OrganizationPolicy,
    IamApi,
    OAuth,
    IamCredentials,
    Metadata,
    ResourceManager,
    ServiceUsage,
    CloudLogging,
    OsLogin,
    Compute,
    IdentityAwareProxy,
    ServiceNetworking,
    PubSub,
    CertificateManager,
    SecretManager,
    Storage,
    ArtifactRegistry,
    CloudBuild,
    SqlAdmin,
    CloudRun,
    CloudRunV1,
)
"""All of them, each behind those whose ports it uses. They are made and started in this order, and stopped in the reverse."""
