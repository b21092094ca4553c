// SPDX-License-Identifier: MIT
#include "backend/vde_endpoint.h"

#include "backend/vde_wire.h"
#include "switch/base/text.h"

namespace lanyard {

VdeEndpoint::VdeEndpoint(std::shared_ptr<VdeShared> shared, UniqueFd data, std::string socket_path,
                         std::string description)
    : shared_(std::move(shared)),
      data_(std::move(data)),
      socket_path_(std::move(socket_path)),
      description_(std::move(description)) {
  caps_.frame_max = vde_receiver_frame_max(description_);
}

VdeEndpoint::~VdeEndpoint() {
  if (!socket_path_.empty()) unlink_socket(socket_path_);
}

Transmitted VdeEndpoint::transmit(std::span<const Outgoing> frames) {
  const Transmitted done = shared_->batches.transmit(data_.get(), frames);
  if (done.why == Drop::receiver_gone && !gone_reported_) {
    gone_reported_ = true;
    shared_->log.warning(
        "client '{}' has closed its data socket but not its connection; frames for it are dropped",
        printable(description_));
  }
  return done;
}

}  // namespace lanyard
