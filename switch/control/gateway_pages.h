// SPDX-License-Identifier: MIT
//
// A gateway's list, fetched a page at a time: thousands of rows in one line would be read in one
// piece by the thread that carries the frames. Between two pages the gateway has to answer, and the
// loop turns. Lane thread only.
#pragma once

#include <functional>
#include <string_view>

#include "switch/control/rpc_host.h"

namespace lanyard {

// A fraction of a millisecond to read.
inline constexpr std::size_t kGatewayPageRows = 32;

struct GatewayPage {
  const RpcError* error = nullptr;  // then it is the last, and empty
  Json rows;                        // an array
  bool last = false;
};
using OnGatewayPage = std::function<void(GatewayPage page)>;
using AskGateway =
    std::function<void(std::string_view method, const Json& params, GatewayReply reply)>;

// The rows that `method` gives under `key`.
void ask_gateway_pages(const AskGateway& ask, std::string_view method, std::string_view key,
                       const OnGatewayPage& on_page);

}  // namespace lanyard
