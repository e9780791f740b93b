"""A workspace as a service: HTTP (`flows.server.http_app`), Model Context Protocol (`flows.server.mcp_tools`)."""
