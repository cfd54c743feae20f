{{/* Secrets and address of the hub, which the umbrella chart names after its release. */}}
{{- define "towonel.edge.hubKeysSecret" -}}
{{- tpl .Values.identity.hubKeysSecret . -}}
{{- end }}

{{- define "towonel.edge.hubUrl" -}}
{{- tpl .Values.hub.url . -}}
{{- end }}

{{- define "towonel.edge.addresses" -}}
{{- include "towonel.fullname" . }}-addresses
{{- end }}

{{- define "towonel.edge.pod" -}}
{{- include "towonel.podDefaults" . }}
{{- include "towonel.topologySpread" . }}
terminationGracePeriodSeconds: {{ include "towonel.gracePeriod" . }}
containers:
  - name: edge
    image: {{ include "towonel.image" (list . .Values.image) }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    securityContext:
      {{- include "towonel.containerSecurity" . | nindent 6 }}
    ports:
      - name: edge
        containerPort: {{ .Values.ports.edge }}
        {{- if eq .Values.kind "DaemonSet" }}
        hostPort: {{ .Values.hostPort }}
        {{- end }}
      - name: sessions
        containerPort: {{ .Values.ports.edge }}
        protocol: UDP
        {{- if eq .Values.kind "DaemonSet" }}
        hostPort: {{ .Values.hostPort }}
        {{- end }}
      {{- range include "towonel.edge.everyPort" .Values.tcpPorts | fromJsonArray }}
      - name: tcp-{{ int . }}
        containerPort: {{ int . }}
        {{- if eq $.Values.kind "DaemonSet" }}
        hostPort: {{ int . }}
        {{- end }}
      {{- end }}
      {{- range include "towonel.edge.everyPort" .Values.udpPorts | fromJsonArray }}
      - name: udp-{{ int . }}
        containerPort: {{ int . }}
        protocol: UDP
        {{- if eq $.Values.kind "DaemonSet" }}
        hostPort: {{ int . }}
        {{- end }}
      {{- end }}
      - name: health
        containerPort: {{ .Values.ports.health }}
    env:
      {{- include "towonel.edge.env" . | nindent 6 }}
      {{- include "towonel.userEnv" . | nindent 6 }}
    {{- include "towonel.probes" . | nindent 4 }}
    {{- include "towonel.lifecycle" . | nindent 4 }}
    resources:
      {{- toYaml .Values.resources | nindent 6 }}
    volumeMounts:
      - {name: data, mountPath: /data}
      - {name: identity, mountPath: /etc/towonel/identity, readOnly: true}
      {{- if .Values.advertisedAddressesByEdge }}
      - {name: addresses, mountPath: /etc/towonel/addresses, readOnly: true}
      {{- end }}
      {{- include "towonel.userMounts" . | nindent 6 }}
volumes:
  {{- if not (include "towonel.edge.claims" .) }}
  - name: data
    emptyDir: {sizeLimit: 1Gi}
  {{- end }}
  - name: identity
    secret:
      secretName: {{ .Values.identity.tokensSecret | default (include "towonel.edge.hubKeysSecret" .) }}
      # For the group, which fsGroup makes that of the pod: everybody's would be refused.
      defaultMode: 0440
  {{- if .Values.advertisedAddressesByEdge }}
  - name: addresses
    configMap: {name: {{ include "towonel.edge.addresses" . }}}
  {{- end }}
  {{- include "towonel.userVolumes" . | nindent 2 }}
{{- end }}

{{- define "towonel.edge.claims" -}}
{{- if and (eq .Values.kind "StatefulSet") .Values.persistence.enabled }}true{{ end -}}
{{- end }}

{{- define "towonel.edge.env" -}}
- name: EDGE_NAME
  valueFrom: {fieldRef: {fieldPath: {{ ternary "spec.nodeName" "metadata.name" (eq .Values.kind "DaemonSet") }}}}
- name: HOST_IP
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
{{- if .Values.identity.tokensSecret }}
- {name: TOWONEL_EDGE_INVITE_TOKEN_FILE, value: /etc/towonel/identity/$(EDGE_NAME)}
{{- else }}
- {name: TOWONEL_IDENTITY_KEY_PATH, value: /etc/towonel/identity/node.key}
{{- end }}
- {name: TOWONEL_DATA_DIR, value: /data}
- {name: TOWONEL_EDGE_STATE_DIR, value: /data/edge}
- {name: TOWONEL_EDGE_LISTEN_ADDR, value: "0.0.0.0:{{ .Values.ports.edge }}"}
- {name: TOWONEL_EDGE_HEALTH_LISTEN_ADDR, value: "0.0.0.0:{{ .Values.ports.health }}"}
- {name: TOWONEL_EDGE_DRAIN_TIMEOUT_SECS, value: {{ .Values.drainSeconds | quote }}}
{{- with include "towonel.edge.hubUrl" . }}
- {name: TOWONEL_EDGE_HUB_URL, value: {{ . | quote }}}
{{- end }}
{{- if .Values.hub.allowInsecure }}
- {name: TOWONEL_ALLOW_INSECURE_HUB, value: "true"}
{{- end }}
{{- if .Values.advertisedAddressesByEdge }}
- {name: TOWONEL_EDGE_ADVERTISED_ADDRESSES_FILE, value: /etc/towonel/addresses/$(EDGE_NAME)}
{{- else }}
- {name: TOWONEL_EDGE_ADVERTISED_ADDRESSES, value: {{ tpl (join "," .Values.advertisedAddresses) . | quote }}}
{{- end }}
{{- if .Values.proxyProtocol.enabled }}
- {name: TOWONEL_EDGE_PROXY_PROTOCOL, value: "true"}
{{- with .Values.proxyProtocol.trusted }}
- {name: TOWONEL_EDGE_PROXY_PROTOCOL_TRUSTED, value: {{ join "," . | quote }}}
{{- end }}
{{- end }}
{{- if .Values.redis.urlSecret.name }}
- name: TOWONEL_REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.redis.urlSecret.name }}, key: {{ .Values.redis.urlSecret.key }}}
{{- end }}
{{- end }}

{{/* How a Service is reached. */}}
{{- define "towonel.edge.reach" -}}
{{- $service := index . 0 -}}
type: {{ $service.type }}
{{- if ne $service.type "ClusterIP" }}
externalTrafficPolicy: {{ $service.externalTrafficPolicy }}
{{- end }}
{{- if and (eq $service.type "LoadBalancer") $service.loadBalancerClass }}
loadBalancerClass: {{ $service.loadBalancerClass }}
{{- end }}
{{- end }}

{{/* Where the test finds each edge: by its Service, or all pods of a DaemonSet by the name of the metrics' Service. */}}
{{- define "towonel.edge.testAddresses" -}}
{{- $name := include "towonel.fullname" . -}}
{{- if eq .Values.kind "DaemonSet" -}}
{{- printf "%s-metrics:%d" $name (int .Values.ports.edge) -}}
{{- else -}}
{{- range $index := until (int .Values.replicas) -}}
{{- if $index }},{{ end }}{{ printf "%s-%d:%d" $name $index (int $.Values.service.port) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Ports of TCP or UDP services, each for itself: "27015-27030" is sixteen of them. */}}
{{- define "towonel.edge.everyPort" -}}
{{- $found := list -}}
{{- range . -}}
{{- $ends := splitList "-" (toString .) -}}
{{- $first := int (first $ends) -}}
{{- $last := int (last $ends) -}}
{{- if or (gt $first $last) (ge (sub $last $first) 512) (gt $last 65535) (lt $first 1) -}}
{{- fail (printf "tcpPorts, udpPorts: %s must be a range of at most 512 ports, as in 27015-27030" (toString .)) -}}
{{- end -}}
{{- range untilStep $first (int (add1 $last)) 1 -}}
{{- $found = append $found . -}}
{{- end -}}
{{- end -}}
{{- toJson (uniq $found) -}}
{{- end }}

{{/* Ports of TCP and UDP services, as a Service has them. */}}
{{- define "towonel.edge.servicePorts" -}}
{{- range include "towonel.edge.everyPort" .Values.tcpPorts | fromJsonArray }}
- {name: tcp-{{ int . }}, port: {{ int . }}, targetPort: tcp-{{ int . }}, protocol: TCP}
{{- end }}
{{- range include "towonel.edge.everyPort" .Values.udpPorts | fromJsonArray }}
- {name: udp-{{ int . }}, port: {{ int . }}, targetPort: udp-{{ int . }}, protocol: UDP}
{{- end }}
{{- end }}
