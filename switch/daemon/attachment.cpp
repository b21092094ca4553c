// SPDX-License-Identifier: MIT
#include "switch/daemon/attachment.h"

#include <utility>

namespace lanyard {

Attachment::~Attachment() {
  services_.clear();
  for (Plug* plug : std::exchange(plugs_, {})) lane_.unplug(*plug);
}

Result<Plug*> Attachment::plug(PortId port, std::unique_ptr<Endpoint> endpoint, Plug::Traits traits,
                               Unplugged unplugged) {
  // The plug's address is known only afterwards, and nobody unplugs it before.
  const auto made = std::make_shared<Plug*>(nullptr);
  Result<Plug*> plug = lane_.plug(port, std::move(endpoint), std::move(traits),
                                  [this, made, unplugged = std::move(unplugged)](UnplugReason why) {
                                    plugs_.erase(*made);
                                    if (unplugged) unplugged(why);
                                  });
  if (!plug) return plug;
  *made = plug.value();
  plugs_.insert(plug.value());
  if (plugged_) plugged_(*plug.value());
  return plug;
}

void Attachment::unplug(Plug& plug) {
  plugs_.erase(&plug);
  lane_.unplug(plug);
}

}  // namespace lanyard
