"""The screens of the console: where each is, and what it shows when it is complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from playwright.sync_api import Page


@dataclass(frozen=True)
class Press:
    """A key that is pressed."""

    key: str


@dataclass(frozen=True)
class Click:
    """A button, or another control, that is clicked."""

    name: str
    role: Literal["button", "checkbox", "group", "menuitem", "region", "tab"] = "button"


@dataclass(frozen=True)
class Fill:
    """A field that is filled."""

    label: str
    text: str


@dataclass(frozen=True)
class Screen:
    """A page; `path` may contain ids of `Content` in braces."""

    name: str
    path: str
    shows: str
    """Text of the page that appears last."""
    anonymous: bool = False
    """Whether it is for those who have not logged in."""
    steps: tuple[Press | Click | Fill, ...] = ()
    """What opens the dialog, the menu or the view that is meant; (): the page is."""
    needs_width: bool = False
    """Whether it is for wide windows: narrow ones show a flow as a list, and no heads of grids."""

    def open_over(self, page: Page) -> None:
        """Open what lies over the page, which has been loaded."""
        for step in self.steps:
            page.locator("h1").first.wait_for()
            match step:
                case Press(key):
                    page.keyboard.press(key)
                case Fill(label, text):
                    page.get_by_role("textbox", name=label).first.fill(text)
                case Click(name, role):
                    found = page.get_by_role(role, name=name)
                    found.filter(visible=True).first.click()


def _of_flow(action: str) -> tuple[Click, Click]:
    return Click("Actions for Iris classifier"), Click(action, "menuitem")


def _of_key(action: str) -> tuple[Click, Click]:
    return Click("Actions for shop"), Click(action, "menuitem")


def _of_user(action: str) -> tuple[Click, Click]:
    return Click("Actions for grace"), Click(action, "menuitem")


def _of_endpoint(action: str) -> tuple[Click, Click]:
    return Click("Actions for Ratio with events"), Click(action, "menuitem")


SCREENS = (
    Screen("login", "/login", "Log in", anonymous=True),
    Screen("set-up", "/setup#token=used", "First start", anonymous=True),
    Screen("invitation", "/invite#token=unknown", "Set your password", anonymous=True),
    Screen("no-page", "/nowhere", "There is no such page"),
    Screen("welcome", "/welcome", "Model iris"),
    Screen("flows", "/flows", "Iris classifier"),
    Screen("flow-menu", "/flows", "Duplicate", steps=_of_flow("Duplicate")[:1]),
    Screen("delete-flow", "/flows", "It cannot be deleted", steps=_of_flow("Delete")),
    Screen("account-menu", "/flows", "Theme", steps=(Click("Account"),)),
    Screen("new-flow", "/flows/new", "FP32"),
    Screen("example-flow", "/flows/new?from=example", "A branch"),
    Screen("import-flow", "/flows/new?from=import", "Drop a .json file"),
    Screen("editor", "/flows/{flow}/edit?node=ratio", "Display name"),
    Screen("editor-list", "/flows/{flow}/edit", "after input", steps=(Click("List view"),)),
    Screen(
        "editor-connect",
        "/flows/{flow}/edit?node=ratio",
        "Connect to",
        steps=(Click("Node ratio", "region"), Click("Transform ratio", "group"), Press("c")),
        needs_width=True,
    ),
    Screen(
        "editor-output",
        "/flows/{flow}/edit?node=ratio",
        "completed",
        steps=(Click("Test run"), Click("Output", "tab")),
    ),
    Screen("rename-flow", "/flows/{flow}/edit", "Name", steps=(Click("Rename the flow"),)),
    Screen("flow-history", "/flows/{flow}/history", "Present draft"),
    Screen("flow-revision", "/flows/{flow}/history?revision=1", "API input"),
    Screen("name-draft", "/flows/{flow}/history", "Keep it", steps=(Click("Name this state"),)),
    Screen(
        "live-draft", "/flows/{flow}/history", "Make it", steps=(Click("Back to what is live"),)
    ),
    Screen("editor-try", "/flows/{flow}/edit?node=ratio&run={run}", "This draft differs"),
    Screen("flow-runs", "/flows/{flow}/runs", "Failed"),
    Screen("flow-deployments", "/flows/{flow}/deploy", "Ratio for partners"),
    Screen("new-deployment", "/flows/{flow}/deploy/new", "Can be deployed"),
    Screen("models", "/models", "iris"),
    Screen("upload-model", "/models/upload", "Name of the model"),
    Screen("model", "/models/iris/versions/1", "SHA-256"),
    Screen("model-graph", "/models/iris/versions/1?tab=graph", "LinearClassifier"),
    Screen("delete-version", "/models/iris/versions/1", "yet", steps=(Click("Delete version"),)),
    Screen("model-try", "/models/iris/versions/1?tab=try", "Send"),
    Screen("server", "/servers/{server}", "INFO"),
    Screen("deployments", "/deployments", "Ratio for partners"),
    Screen("code", "/deployments/{deployment}/code", "curl"),
    Screen("run-code", "/deployments/{deployment}/code", "server", steps=(Click("Run this call"),)),
    Screen("export-menu", "/deployments/{deployment}/code", "OpenAPI", steps=(Click("Export"),)),
    Screen("try", "/deployments/{deployment}/try", "Send"),
    Screen("try-answer", "/deployments/{deployment}/try", "server", steps=(Click("Send"),)),
    Screen("deployment-runs", "/deployments/{deployment}/runs", "Failed"),
    Screen("deployment-usage", "/deployments/{deployment}/usage", "The slowest"),
    Screen("versions", "/deployments/{redeployed}/versions", "Roll back"),
    Screen("new-rollout", "/deployments/{deployment}/rollout", "It is rolled back automatically"),
    Screen("version", "/deployments/{redeployed}/versions/1", "API input"),
    Screen(
        "promote", "/deployments/{redeployed}/versions", "Promote v1?", steps=(Click("Promote"),)
    ),
    Screen("compare", "/deployments/{redeployed}/compare?before=1&after=2", "Changed"),
    Screen("redeploy", "/deployments/{deployment}/redeploy", "Redeploy as v2"),
    Screen("settings", "/deployments/{deployment}/settings", "Save"),
    Screen(
        "delete-deployment",
        "/deployments/{deployment}/settings",
        "will answer 410",
        steps=(Click("Delete"),),
    ),
    Screen("deployment-webhook", "/deployments/{deployment}/webhook", "Events"),
    Screen("runs", "/runs", "of them failed"),
    Screen(
        "chosen-runs",
        "/runs",
        "runs selected",
        steps=(Click("Select all that are", "checkbox"),),
        needs_width=True,
    ),
    Screen("run", "/runs/{run}", "division by zero"),
    Screen("webhooks", "/webhooks", "run.completed"),
    Screen("replay", "/webhooks", "under its original id", steps=(Click("Replay failed"),)),
    Screen("delivery", "/webhooks/deliveries/{delivery}", "Headers of the last attempt"),
    Screen("endpoints", "/webhooks/endpoints", "Ratio with events"),
    Screen("webhook-test", "/webhooks/endpoints", "Took", steps=_of_endpoint("Send a test")),
    Screen(
        "webhook-events", "/webhooks/endpoints", "Events of", steps=_of_endpoint("Choose events")
    ),
    Screen(
        "rotate-secret",
        "/webhooks/endpoints",
        "signs at once",
        steps=_of_endpoint("Rotate the secret"),
    ),
    Screen("signature-check", "/webhooks/check", "Secret"),
    Screen("usage", "/usage", "The slowest"),
    Screen("system", "/system", "Gateways"),
    Screen("keys", "/settings/keys", "shop"),
    Screen("new-key", "/settings/keys/new", "Create key"),
    Screen(
        "save-key",
        "/settings/keys/new",
        "Copy this key now",
        steps=(Fill("Name", "for a picture"), Click("Create key")),
    ),
    Screen("key", "/settings/keys/{key}", "shop"),
    Screen("rotate-key", "/settings/keys", "The old one ends", steps=_of_key("Rotate")),
    Screen("delete-key", "/settings/keys", "cannot be undone", steps=_of_key("Delete")),
    Screen("profile", "/settings/profile", "Present password"),
    Screen("sessions", "/settings/sessions", "This browser"),
    Screen("users", "/settings/users", "Invite user"),
    Screen("invite-user", "/settings/users", "Make link", steps=(Click("Invite user"),)),
    Screen("user-role", "/settings/users", "Role of grace", steps=_of_user("Change role")),
    Screen("invitation-link", "/settings/users", "It works once", steps=_of_user("New link")),
    Screen("delete-user", "/settings/users", "cannot be undone", steps=_of_user("Delete")),
    Screen("audit", "/settings/audit", "flow.update"),
    Screen("palette", "/flows", "Arrows choose", steps=(Press("Control+k"),)),
    Screen("shortcuts", "/flows", "Single keys", steps=(Press("?"),)),
)
