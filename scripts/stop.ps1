<#
.SYNOPSIS
Stops Phoenix 95. Positions stay open, with their stops standing on the exchange.
.DESCRIPTION
Stops and removes the containers; data and secrets stay in their volumes. With the paper exchange in a container the
paper market stands still meanwhile. To be flat first, close everything: POST /close of EXECUTE, or the dashboard.
Exit codes: 0 stopped, 1 not stopped, 2 something needed is missing.
.PARAMETER Kind
Which start script was used: base, dev, prod or ha.
.PARAMETER RemoveData
Also delete the volumes: the record of all trades, every message, all secrets. Asks first.
.PARAMETER Force
Do not ask before deleting data.
.EXAMPLE
./scripts/stop.ps1 -Kind prod
#>
[CmdletBinding()]
param(
    [ValidateSet('base', 'dev', 'prod', 'ha')][string]$Kind = 'base',
    [switch]$RemoveData,
    [switch]$Force
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'Phoenix95.psm1') -Force

if (-not (Test-ComposeFile -Kind $Kind) -or -not (Test-Docker)) { exit $ExitUsage }
$arguments = @('down', '--remove-orphans')
if ($RemoveData) {
    if (-not $Force) {
        $answer = Read-Host 'This deletes all data and secrets of Phoenix 95 for good. Type DELETE to go on'
        if ($answer -cne 'DELETE') {
            Write-Note 'nothing was done'
            exit $ExitFailed
        }
    }
    $arguments += '--volumes'
}
Invoke-Compose -Kind $Kind -Arguments $arguments
if ($LASTEXITCODE -ne 0) {
    Write-Bad 'docker compose down failed' 'docker compose ps shows what is left.'
    exit $ExitFailed
}
Write-Good 'stopped'
exit $ExitOk
