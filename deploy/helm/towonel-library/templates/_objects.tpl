{{/* Whole objects that each chart has. */}}

{{- define "towonel.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "towonel.serviceAccountName" . }}
  {{- include "towonel.metadata" . | nindent 2 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- end }}

{{/* Not for a single pod: a node could never be drained. */}}
{{- define "towonel.podDisruptionBudget" -}}
{{- $autoscaling := .Values.autoscaling | default dict }}
{{- if and .Values.podDisruptionBudget.enabled (or (gt (int .Values.replicas) 1) $autoscaling.enabled) }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "towonel.fullname" . }}
  {{- include "towonel.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .Values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "towonel.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end }}

{{- define "towonel.autoscaler" -}}
{{- if .Values.autoscaling.enabled }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "towonel.fullname" . }}
  {{- include "towonel.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "towonel.fullname" . }}
  minReplicas: {{ .Values.autoscaling.minReplicas }}
  maxReplicas: {{ .Values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .Values.autoscaling.targetCPUUtilizationPercentage }}
{{- end }}
{{- end }}

{{/* Health and metrics, without an address of its own, and of pods that are not ready, too. */}}
{{- define "towonel.metricsService" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "towonel.fullname" . }}-metrics
  {{- include "towonel.metadata" . | nindent 2 }}
    towonel/service: metrics
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "towonel.selectorLabels" . | nindent 4 }}
  ports:
    - name: metrics
      port: {{ .Values.ports.health }}
      targetPort: health
{{- end }}

{{- define "towonel.serviceMonitor" -}}
{{- if .Values.monitoring.serviceMonitor.enabled }}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ include "towonel.fullname" . }}
  {{- include "towonel.metadata" . | nindent 2 }}
    {{- with .Values.monitoring.serviceMonitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  # "towonel-hub" and so on, whatever the release is named.
  jobLabel: app.kubernetes.io/name
  selector:
    matchLabels:
      {{- include "towonel.selectorLabels" . | nindent 6 }}
      towonel/service: metrics
  endpoints:
    - port: metrics
      interval: {{ .Values.monitoring.serviceMonitor.interval }}
{{- end }}
{{- end }}

{{/*
Rules as they are in the chart's folder `rules`: Prometheus' own templates in them are not Helm's. Of their groups those
named after this chart, and the one named "towonel", which is for every program: what several releases say alike is one alert.
*/}}
{{- define "towonel.prometheusRule" -}}
{{- if .Values.monitoring.prometheusRule.enabled }}
{{- $groups := list "towonel" (printf "towonel-%s" (include "towonel.component" .)) }}
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {{ include "towonel.fullname" . }}
  {{- include "towonel.metadata" . | nindent 2 }}
    {{- with .Values.monitoring.prometheusRule.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  groups:
    {{- range $path, $content := .Files.Glob "rules/*.yaml" }}
    {{- range (fromYaml (toString $content)).groups }}
    {{- if has .name $groups }}
    {{- toYaml (list .) | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end }}

{{/* Dashboards, by a label that Grafana's sidecar looks for. */}}
{{- define "towonel.dashboards" -}}
{{- $files := .Files.Glob "dashboards/*.json" }}
{{- if and .Values.monitoring.dashboards.enabled $files }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "towonel.fullname" . }}-dashboards
  {{- include "towonel.metadata" . | nindent 2 }}
    {{- toYaml .Values.monitoring.dashboards.labels | nindent 4 }}
data:
  {{- $files.AsConfig | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Who may connect to the pods: anybody to the ports of the argument's second item, the rest of the cluster to health.
Kubelets are always let through.
*/}}
{{- define "towonel.networkPolicy" -}}
{{- $root := index . 0 }}
{{- $open := index . 1 }}
{{- if $root.Values.networkPolicy.enabled }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "towonel.fullname" $root }}
  {{- include "towonel.metadata" $root | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "towonel.selectorLabels" $root | nindent 6 }}
  policyTypes:
    - Ingress
    {{- if $root.Values.networkPolicy.egress }}
    - Egress
    {{- end }}
  ingress:
    {{- /* An empty list would mean anybody. */}}
    {{- with $root.Values.networkPolicy.metricsFrom }}
    - from:
        {{- toYaml . | nindent 8 }}
      ports:
        - {protocol: TCP, port: health}
    {{- end }}
    {{- with $open }}
    - ports:
        {{- range . }}
        - {protocol: {{ .protocol }}, port: {{ .port }}}
        {{- end }}
      {{- with $root.Values.networkPolicy.from }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
  {{- with $root.Values.networkPolicy.egress }}
  egress:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
