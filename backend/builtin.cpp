// SPDX-License-Identifier: MIT
//
// The list of backends: one line a kind.
#include "switch/runtime/backend.h"

namespace lanyard {

extern const Backend gateway_backend;
extern const Backend pcap_backend;
extern const Backend plug_backend;
extern const Backend record_backend;
extern const Backend replay_backend;
Backend tap_backend(const AttachTap& attach);
Backend vde_backend(SocketDirectories* maker);

void register_builtin_backends(BackendRegistry& registry, const AttachTap& attach,
                               SocketDirectories* directories) {
  registry.add(gateway_backend);
  registry.add(pcap_backend);
  registry.add(plug_backend);
  registry.add(record_backend);
  registry.add(replay_backend);
  registry.add(tap_backend(attach));
  registry.add(vde_backend(directories));
}

}  // namespace lanyard
