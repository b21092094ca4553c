// SPDX-License-Identifier: MIT
#include "switch/daemon/attachment.h"

#include <new>
#include <utility>

namespace lanyard {

Attachment::~Attachment() {
  services_.clear();
  lane_.note_change();
  for (Plug* plug : std::exchange(plugs_, {})) lane_.unplug(*plug);
}

Result<Plug*> Attachment::plug(PortId port, std::unique_ptr<Endpoint> endpoint, Plug::Traits traits,
                               Unplugged unplugged) {
  // Its place in the list comes first: a plug that is in none would stay for ever.
  auto place = plugs_.extract(plugs_.insert(nullptr).first);
  // The plug's address is known only afterwards, and nobody unplugs it before.
  const auto made = std::make_shared<Plug*>(nullptr);
  Result<Plug*> plug = lane_.plug(port, std::move(endpoint), std::move(traits),
                                  [this, made, unplugged = std::move(unplugged)](UnplugReason why) {
                                    plugs_.erase(*made);
                                    if (unplugged) unplugged(why);
                                  });
  if (!plug) return plug;
  *made = plug.value();
  place.value() = plug.value();
  plugs_.insert(std::move(place));
  try {
    if (plugged_) plugged_(*plug.value());
  } catch (const std::bad_alloc&) {
    // Whoever asked for it will never know of it.
    unplug(*plug.value());
    throw;
  }
  return plug;
}

std::vector<HandoverPart> Attachment::handover(HandoverReason why, const std::string& place) const {
  std::vector<HandoverPart> parts;
  for (const auto& service : services_) {
    std::optional<HandoverPart> part = service->handover(why);
    if (!part) continue;
    part->place = place;
    parts.push_back(std::move(*part));
  }
  return parts;
}

void Attachment::unplug(Plug& plug) {
  plugs_.erase(&plug);
  lane_.unplug(plug);
}

}  // namespace lanyard
