// SPDX-License-Identifier: MIT
//
// The single questions of doctor.h; each adds what it found. Any thread that may wait.
#pragma once

#include <vector>

#include "switch/host/doctor.h"

namespace lanyard::doctor {

using Findings = std::vector<DoctorFinding>;

// doctor_checks.cpp: settings and files.
void check_rights(const DoctorContext& context, Findings& findings);
void check_tun(const DoctorContext& context, Findings& findings);
void check_resolver(const DoctorContext& context, Findings& findings);
void check_queue_length(const DoctorContext& context, Findings& findings);
void check_socket_buffers(const DoctorContext& context, Findings& findings);
void check_ping(const DoctorContext& context, Findings& findings);
void check_descriptors(const DoctorContext& context, Findings& findings);
void check_ipv6(const DoctorContext& context, Findings& findings);
void check_landlock(const DoctorContext& context, Findings& findings);
void check_sandboxes(const DoctorContext& context, Findings& findings);

// doctor.cpp: programs and networks.
void check_forwarding(const DoctorContext& context, Findings& findings);
void check_forward_policy(const DoctorContext& context, Findings& findings);
void check_overlaps(const DoctorContext& context, Findings& findings);
void check_libslirp(const DoctorContext& context, Findings& findings);
void check_qemu(const DoctorContext& context, Findings& findings);
void check_daemon(const DoctorContext& context, Findings& findings);

void ok(Findings& findings, std::string what);
void note(Findings& findings, std::string what, std::string remedy);
void problem(Findings& findings, std::string what, std::string remedy);

bool any_of_kind(const DoctorContext& context, NetworkKind kind);

}  // namespace lanyard::doctor
