"""A workspace as a service: HTTP (`flows.server.app`) and the Model Context Protocol (`flows.server.mcp_tools`)."""
