"""A plugin of django-simple-deploy: `manage.py deploy` runs the playbooks of the collection org.djangogcp."""
