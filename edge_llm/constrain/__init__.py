"""What may be generated next: JSON schema, regex and grammar masks."""
