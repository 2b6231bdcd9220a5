package devcontainer

import "strings"

// whyIgnored says why a bottle does not do what that key is for.
func whyIgnored(key string) string {
	switch key {
	case "initializeCommand":
		return "it would run on the host"
	case "mounts", "workspaceMount":
		return "a bottle mounts nothing of the host"
	case "runArgs", "privileged", "capAdd", "securityOpt", "init", "hostRequirements", "containerUser", "updateRemoteUserUID", "overrideCommand", "shutdownAction":
		return "how a bottle runs, and as whom, is no repository's to say"
	case "features", "overrideFeatureInstallOrder":
		return "features are not installed: put what they install into the image"
	case "onCreateCommand", "updateContentCommand", "postStartCommand", "postAttachCommand", "waitFor":
		return "of the commands only postCreateCommand is run"
	case "remoteEnv":
		return "of the variables only those of containerEnv are set"
	case "appPort":
		return "ports of the host are opened by port-forward alone"
	case "$schema", "name", "customizations", "portsAttributes", "otherPortsAttributes", "userEnvProbe", "secrets":
		return "it means nothing to a bottle"
	}
	if strings.HasPrefix(key, "build.") {
		return "of build only dockerfile, context, target and args are passed on"
	}
	return "it is not known"
}
