{{/*
A pod of `helm test` that runs a file of the chart: the argument has the root, the file, its variables, the image and the
Secret whose keys it reads, if any. Its labels are of no Service, and no NetworkPolicy of the charts keeps it out.

A file that reads these keys imports `hub_api`, which is a file, too: a pod without volumes of its own gets both as
arguments, and makes a module of the one before it runs the other.
*/}}
{{- define "towonel.runWithHubApi" -}}
import sys, types; m = sys.modules["hub_api"] = types.ModuleType("hub_api"); exec(sys.argv[1], vars(m)); exec(sys.argv[2])
{{- end }}

{{- define "towonel.testPod" -}}
{{- $root := .root }}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "towonel.fullname" $root }}-test
  namespace: {{ $root.Release.Namespace }}
  labels:
    app.kubernetes.io/name: towonel-{{ include "towonel.component" $root }}-test
    app.kubernetes.io/instance: {{ $root.Release.Name }}
    app.kubernetes.io/managed-by: {{ $root.Release.Service }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  activeDeadlineSeconds: 180
  {{- include "towonel.podDefaults" $root | nindent 2 }}
  containers:
    - name: test
      image: {{ include "towonel.image" (list $root .image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      securityContext:
        {{- include "towonel.containerSecurity" $root | nindent 8 }}
      command:
        - /opt/towonel/bin/python
        - -c
        {{- if .secret }}
        - {{ include "towonel.runWithHubApi" $root | toJson }}
        - {{ $root.Files.Get "files/hub_api.py" | toJson }}
        {{- end }}
        - {{ $root.Files.Get .file | toJson }}
      env:
        {{- range $name, $value := .env }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
        {{- if or $root.Values.ca.configMap $root.Values.ca.secret }}
        - {name: SSL_CERT_FILE, value: /etc/towonel/ca/{{ $root.Values.ca.key }}}
        {{- end }}
      resources:
        requests: {cpu: 50m, memory: 64Mi}
        limits: {memory: 256Mi}
      volumeMounts:
        {{- if .secret }}
        - {name: keys, mountPath: /etc/towonel/keys, readOnly: true}
        {{- end }}
        {{- include "towonel.userMounts" $root | nindent 8 }}
  volumes:
    {{- if .secret }}
    - name: keys
      secret: {secretName: {{ .secret }}, defaultMode: 0440}
    {{- end }}
    {{- include "towonel.userVolumes" $root | nindent 4 }}
{{- end }}
