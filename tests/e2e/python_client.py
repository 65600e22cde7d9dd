"""What a script with the official Python client does: list, watch and read a log.

``python_client.py KUBECONFIG CONTEXT`` prints a line of JSON for each step. The watch begins at the list's version and
ends with a pod that is called "latecomer".
"""

import json
import sys

from kubernetes import client, config, watch

NAMESPACE = "kinds"


def say(**what: object) -> None:
    """Print a line that the test reads while this runs."""
    print(json.dumps(what), flush=True)


def main() -> None:
    """Entry point."""
    core = client.CoreV1Api(config.new_client_from_config(sys.argv[1], sys.argv[2]))
    listed = core.list_namespaced_pod(NAMESPACE)
    say(listed=[pod.metadata.name for pod in listed.items])
    say(log=core.read_namespaced_pod_log("solo", NAMESPACE, container="side"))
    widgets = client.CustomObjectsApi(core.api_client).list_namespaced_custom_object(
        "shop.example", "v1", NAMESPACE, "widgets"
    )
    say(widgets={item["metadata"]["name"]: item["spec"]["size"] for item in widgets["items"]})
    try:
        core.delete_namespaced_pod("solo", NAMESPACE)
    except client.ApiException as error:
        say(refused=error.status, body=json.loads(error.body)["message"])
    say(watching=True)
    since = listed.metadata.resource_version
    for event in watch.Watch().stream(core.list_namespaced_pod, NAMESPACE, resource_version=since):
        say(event=event["type"], pod=event["object"].metadata.name)
        if event["type"] == "DELETED" and event["object"].metadata.name == "latecomer":
            return


if __name__ == "__main__":
    main()
