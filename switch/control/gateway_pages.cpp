// SPDX-License-Identifier: MIT
#include "switch/control/gateway_pages.h"

#include <memory>
#include <string>

namespace lanyard {
namespace {

struct Listing {
  AskGateway ask;
  std::string method;
  std::string key;
  OnGatewayPage on_page;
};

void ask_page(const std::shared_ptr<const Listing>& listing, const Json& next) {
  Json params{{"limit", kGatewayPageRows}};
  if (!next.is_null()) params["next"] = next;
  listing->ask(listing->method, params, [listing](const RpcError* error, const Json& result) {
    GatewayPage page;
    page.rows = Json::array();
    page.error = error;
    const bool is_list = error == nullptr && result.is_object();
    if (is_list && result.contains(listing->key) && result[listing->key].is_array()) {
      page.rows = result[listing->key];
    }
    const Json after = is_list ? result.value("next", Json()) : Json();
    page.last = after.is_null();
    listing->on_page(std::move(page));
    if (!after.is_null()) ask_page(listing, after);
  });
}

}  // namespace

void ask_gateway_pages(const AskGateway& ask, std::string_view method, std::string_view key,
                       const OnGatewayPage& on_page) {
  const std::shared_ptr<const Listing> listing(
      new Listing{ask, std::string(method), std::string(key), on_page});
  ask_page(listing, nullptr);
}

}  // namespace lanyard
