<#
.SYNOPSIS
Starts Phoenix 95 for production: limits, restarts, log rotation, TLS.
.DESCRIPTION
Uses docker-compose.yml with deployment/docker-compose.prod.yml.
Checks first that docker, compose v2, disk space and ports are there, then runs docker compose and waits until all
services are ready. Running it again changes nothing that already runs as it should.
Exit codes: 0 ready, 1 not started or not ready in time, 2 something needed is missing.
.PARAMETER TimeoutSeconds
How long to wait until all services are ready, in seconds.
.PARAMETER Build
Build the image from this checkout first.
.PARAMETER NoWait
Return when the containers are created, without waiting until they are ready.
.EXAMPLE
./scripts/start_prod.ps1 -Build
#>
[CmdletBinding()]
param(
    [ValidateRange(10, 3600)][int]$TimeoutSeconds = 300,
    [switch]$Build,
    [switch]$NoWait
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'Phoenix95.psm1') -Force

exit (Start-Phoenix -Kind prod -TimeoutSeconds $TimeoutSeconds -Build:$Build -NoWait:$NoWait)
